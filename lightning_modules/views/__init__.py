"""How a method turns a batch of clips into views, on the device, all samples at once."""
