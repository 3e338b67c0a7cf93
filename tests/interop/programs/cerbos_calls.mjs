// Makes calls with one of Cerbos's own clients: PACKAGE ADDRESS, the calls as JSON on standard input; prints what each gave.
const [name, address] = process.argv.slice(2);
const client = name === "@cerbos/http" ? new (await import(name)).HTTP(address) : new (await import(name)).GRPC(address, { tls: false });

// What the client makes of an answer, less what is new in each.
function shown(value) {
  return JSON.parse(JSON.stringify(value, (key, one) => (key === "cerbosCallId" || key === "requestId" || one === undefined ? undefined : one)));
}

let text = "";
for await (const chunk of process.stdin) text += chunk;
const told = [];
for (const [method, request] of JSON.parse(text)) {
  try {
    told.push({ gives: shown((request === null ? await client[method]() : await client[method](request)) ?? null) });
  } catch (error) {
    told.push({ fails: error.constructor.name, code: error.code, details: error.details });
  }
}
console.log(JSON.stringify(told));
process.exit(0);
