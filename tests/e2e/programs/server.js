// SPDX-License-Identifier: GPL-2.0-or-later
// Answers each request with a page that went through gzip and back. SIGTERM ends it.
'use strict';
const http = require('http');
const zlib = require('zlib');

let wrong = 0;
const server = http.createServer((request, response) => {
	const page = Buffer.alloc(20000, `request of ${request.url}\n`);
	zlib.gzip(page, (error, packed) => {
		if (error) throw error;
		zlib.gunzip(packed, (failure, back) => {
			if (failure || !back.equals(page)) wrong++;
			response.end(back);
		});
	});
});
server.listen(0, '127.0.0.1', () => console.log(`listening ${server.address().port}`));
process.on('SIGTERM', () => {
	server.close();
	server.closeAllConnections();
	console.log(`wrong answers: ${wrong}`);
});
