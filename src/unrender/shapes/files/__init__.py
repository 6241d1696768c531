"""One module for each file format of shapes; `meshes` and `shape` pick the right one."""
