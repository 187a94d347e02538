// A service worker that passes everything through. Once registered it would stand before every page of this origin.
self.addEventListener("fetch", (event) => event.respondWith(fetch(event.request)));
