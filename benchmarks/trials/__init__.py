"""The parts of `campaign.py`."""
