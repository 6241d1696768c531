"""Neural fields: encodings, networks, grids and the occupancy grid."""
