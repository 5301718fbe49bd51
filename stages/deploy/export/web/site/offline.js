// Keeps the page's files, so that it works without its server after the first visit. The export writes VERSION and FILES
// ({file: sha256}) above these lines: a new export is another worker, and the old one answers until its pages are closed,
// so that no page mixes the files of two.

const NAME = `${self.registration.scope} ${VERSION}`;

self.addEventListener("install", event => event.waitUntil(keep()));
self.addEventListener("activate", event => event.waitUntil(dropOthers()));
self.addEventListener("fetch", event => {
  if (event.request.method === "GET") event.respondWith(answer(event.request));
});

// All or nothing: a file that is missing, or another than FILES says, leaves no worker behind.
async function keep() {
  const requests = Object.entries(FILES).map(([file, integrity]) => new Request(file, { integrity, cache: "no-cache" }));
  await (await caches.open(NAME)).addAll(requests);
}

async function dropOthers() {
  for (const name of await caches.keys())
    if (name.startsWith(`${self.registration.scope} `) && name !== NAME) await caches.delete(name);
  await self.clients.claim();
}

async function answer(request) {
  const folder = request.url.split(/[?#]/)[0] === self.registration.scope;
  const kept = await (await caches.open(NAME)).match(folder ? "index.html" : request, { ignoreSearch: true });
  return kept ?? fetch(request);
}
