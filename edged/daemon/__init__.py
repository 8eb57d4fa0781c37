"""The daemon: policy, what clients and operators may ask for, and the process that joins the rooms."""
