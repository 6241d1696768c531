"""One file for each format that meshes are stored in; `unrender.data.meshes` takes its pick."""
