// A node program that reads a target in every way that node programs do, and header names as CGI does: PORT LOG
const http = require("node:http"), fs = require("node:fs"), path = require("node:path");

const log = fs.openSync(process.argv[3], "a");
const ways = [
  (url) => url,
  (url) => new URL(url, "http://app").pathname,
  (url) => decodeURIComponent(new URL(url, "http://app").pathname),
  (url) => decodeURIComponent(url.split("?")[0]),
  (url) => decodeURI(url.split("?")[0]),
  (url) => path.posix.normalize(url.split("?")[0]),
  (url) => path.posix.normalize(decodeURIComponent(url.split("?")[0])),
  (url) => path.win32.normalize(decodeURIComponent(url.split("?")[0])).replaceAll("\\", "/"),
  (url) => path.posix.normalize(decodeURIComponent(url.split("?")[0]).replace(/;[^/]*/g, "")),
  (url) => unescape(url.split("?")[0]),
];

function handler(url) {
  for (const way of ways) {
    try {
      if (way(url).toLowerCase().startsWith("/admin")) return "protected";
    } catch {
      // This way has no reading of it.
    }
  }
  return "public";
}

function identity(raw) {
  const found = {};
  for (let at = 0; at < raw.length; at += 2) {
    const name = raw[at].toLowerCase().replace(/[^a-z0-9]/g, "-");
    if (name.startsWith("x-auth-request-") || name === "x-team-role") (found[name] ??= []).push(raw[at + 1]);
  }
  return found;
}

const server = http.createServer({ insecureHTTPParser: true, keepAliveTimeout: 30000 }, (request, response) => {
  fs.writeSync(log, `${request.method} ${request.url}\n`);
  request.resume();
  request.on("end", () => {
    const body = JSON.stringify(identity(request.rawHeaders));
    response.writeHead(200, { "x-echo": `${request.method} ${request.url}`, "x-handler": handler(request.url), "content-length": Buffer.byteLength(body) });
    response.end(request.method === "HEAD" ? "" : body);
  });
});
server.listen(Number(process.argv[2]), "127.0.0.1");
