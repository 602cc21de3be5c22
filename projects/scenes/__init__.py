"""What mapping a scene whole does to the scores that its windows have one by one."""
