"""What a caller reads piece by piece: live streams, replays, and the handles of both."""
