"""What noise, blur, weather and digital faults cost."""
