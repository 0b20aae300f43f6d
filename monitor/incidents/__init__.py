"""When trouble becomes an incident and when it is over; pure rules over a state."""
