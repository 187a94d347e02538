"""What people see of Atelier itself: sign-in, the waiting room, the desk, and what is shown when something is wrong."""
