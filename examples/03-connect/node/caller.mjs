// The Node caller: finds the service by its name, in whatever language it is written.
import { connect } from "procall";

const math = await connect("math-service");
console.log("5 + 3 =", await math.add(5, 3));
console.log("4 * 7 =", await math.multiply(4, 7));
console.log("10! =", await math.factorial(10));
math.close();
