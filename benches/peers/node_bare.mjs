// A Node that waits: the floor of what a Node worker costs.
console.log("ready");
setInterval(() => {}, 1 << 30);
