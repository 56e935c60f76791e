"""What every floor above stands on: errors, disk, hashing, this machine, progress."""
