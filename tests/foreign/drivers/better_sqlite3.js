// better-sqlite3 in Node.js, built with URI file names.
'use strict';
const Database = require('better-sqlite3');

const request = JSON.parse(require('node:fs').readFileSync(0, 'utf8'));
const loader = new Database(':memory:');
loader.loadExtension(request.library);
const database = new Database(request.uri);
const rows = [];
for (const sql of request.statements) {
  const statement = database.prepare(sql);
  if (statement.reader) rows.push(...statement.pluck().all());
  else statement.run();
}
database.close();
loader.close();
process.stdout.write(JSON.stringify(rows));
