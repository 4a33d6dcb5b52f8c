// The Node worker: Markdown to HTML with a real library.
import { marked } from "marked";
import { service } from "procall";

await service("render", {
  render: (markdown) => marked.parse(markdown, { async: false }),
}).run();
