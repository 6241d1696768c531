"""What a method owes whose model is a shape."""

from abc import ABC, abstractmethod
from typing import Generic

from unrender.data.shape_target import ShapeTarget
from unrender.shapes.shape import Shape
from unrender.training.method import Method, Model


class HoldsShape(ABC, Generic[Model]):
    """A method that gives its model as a shape, not only as images of it."""

    @abstractmethod
    def shape(self, model: Model) -> Shape:
        """In the frame of what it was fitted to."""


class ShapeFit(Method[Model, ShapeTarget], HoldsShape[Model]):
    """A method that is fitted to a shape in three dimensions."""
