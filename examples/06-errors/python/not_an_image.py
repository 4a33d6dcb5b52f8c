"""What goes wrong, for both sides."""


class NotAnImage(Exception):
    def __init__(self, path: str) -> None:
        super().__init__(f"{path} is not an image")
        self.path = path
