// The same objects for `import`: there is one implementation, so errors are the same class however they were imported.
export {
  CODES,
  connect,
  Context,
  context,
  decode,
  DTYPES,
  encode,
  Mapped,
  method,
  offload,
  Pool,
  PoolBase,
  ProcallError,
  Service,
  service,
  Stream,
  TypedBuffer,
  UndecodableError,
  UnencodableError,
} from "./index.js";
export type * from "./index.js";
