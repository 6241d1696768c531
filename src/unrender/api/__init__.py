"""The functions behind `import unrender`."""
