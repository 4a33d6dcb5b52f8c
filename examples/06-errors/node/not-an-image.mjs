// What goes wrong, for both sides.
export class NotAnImage extends Error {
  name = "NotAnImage";
  constructor(path) {
    super(`${path} is not an image`);
    this.path = path;
  }
}
