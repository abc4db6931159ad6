"""What is measured of trained networks beside their accuracy; tensor in, numbers out."""
