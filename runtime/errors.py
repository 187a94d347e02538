"""Errors that a person can act on."""


class UserError(Exception):
    """A mistake or a lack that the person at the keyboard can mend: printed as one line, never as a traceback.

    `problem` says what is wrong, `remedy` what to do about it.
    """

    def __init__(self, problem: str, remedy: str = "") -> None:
        super().__init__(f"{problem} {remedy}".strip())
        self.problem = problem
        self.remedy = remedy


def first_of(group: BaseExceptionGroup[UserError]) -> UserError:
    """One of the errors that a task group collected: a person mends one thing at a time."""
    error = group.exceptions[0]
    return first_of(error) if isinstance(error, BaseExceptionGroup) else error
