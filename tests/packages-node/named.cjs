// A service under its name, written for `require`.
const { service } = require("procall");

service("greeter", { greet: (name) => `hello ${name}` })
  .run()
  .catch((error) => {
    console.error(error);
    process.exitCode = 1;
  });
