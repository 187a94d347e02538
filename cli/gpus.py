"""How many GameServers this machine's GPUs hold: each that needs a GPU has one of its own."""

from allocator.settings import Profile, Settings
from runtime.errors import UserError
from webuis import registry


def needing(settings: Settings) -> list[Profile]:
    """The profiles whose WebUI needs a GPU."""
    return [profile for profile in settings.profiles if registry.get(profile.webui).needs_gpu]


def fitted(settings: Settings, gpus: int) -> Settings:
    """Settings whose sizes fit so many GPUs; without any, everything runs on the CPU, and all sizes stand.

    Profiles without a size of their own share what the others leave. Raises `UserError` for sizes that do not fit.
    """
    profiles = needing(settings)
    if not gpus or not profiles:
        return settings
    open_ones = [profile for profile in profiles if "size" not in profile.model_fields_set]
    left = gpus - sum(profile.size for profile in profiles if profile not in open_ones)
    share = left // len(open_ones) if open_ones else left
    least = max((profile.warm if "warm" in profile.model_fields_set else 1 for profile in open_ones), default=0)
    if share < least:
        names = ", ".join(profile.name for profile in profiles)
        raise UserError(
            f"Impossible size: each WebUI of {names} needs a GPU of its own, more than the {gpus} of this machine.",
            f"Choose sizes that add up to at most {gpus}: --size {gpus}",
        )
    shares = {profile.name: min(profile.size, share) for profile in open_ones}
    return settings.model_copy(update={"profiles": tuple(_sized(profile, shares) for profile in settings.profiles)})


def _sized(profile: Profile, shares: dict[str, int]) -> Profile:
    size = shares.get(profile.name, profile.size)
    return profile.model_copy(update={"size": size, "warm": min(profile.warm, size)})
