"""Built-in plugins of edged: each probes the machine and registers what it finds. They come through the
same door as third parties'."""
