// What an application does with node-redis' createCluster, in RESP2 and RESP3. Prints one line per step; ends with "done".
'use strict';
const {createCluster} = require('redis');

const ports = process.argv[2].split(',').map(Number);

function same(got, wanted, what) {
  if (JSON.stringify(got) !== JSON.stringify(wanted)) throw new Error(`${what}: ${JSON.stringify(got)}`);
}

async function use(RESP) {
  const cluster = createCluster({
    RESP,
    rootNodes: ports.map((port) => ({url: `redis://127.0.0.1:${port}`})),
  });
  cluster.on('error', (e) => console.error(e.message));
  await cluster.connect();
  same(cluster.masters.length, 3, 'masters');
  await Promise.all(Array.from({length: 500}, (_, i) => cluster.set(`user:${i}`, `name-${i}`)));
  const names = await Promise.all(Array.from({length: 500}, (_, i) => cluster.get(`user:${i}`)));
  names.forEach((name, i) => same(name, `name-${i}`, `user:${i}`));
  await cluster.hSet('{a}h', {f: '1', g: 'x'});
  same(Object.entries(await cluster.hGetAll('{a}h')).sort(), [['f', '1'], ['g', 'x']], 'hash');
  await cluster.zAdd('{a}z', [{score: 1.5, value: 'one'}, {score: 2, value: 'two'}]);
  same(await cluster.zRangeWithScores('{a}z', 0, -1), [{value: 'one', score: 1.5}, {value: 'two', score: 2}], 'sorted set');
  same(await cluster.multi().set('{a}x', '1').incr('{a}x').exec(), ['OK', 2], 'MULTI');
  same(await cluster.mGet(['user:7']), ['name-7'], 'MGET');
  let refused = '';
  try {
    await cluster.mGet(['a', 'b', 'c']);
  } catch (e) {
    refused = e.message;
  }
  if (!refused.includes('CROSSSLOT')) throw new Error(`MGET over slots: ${refused}`);
  let keys = 0;
  for (const master of cluster.masters) {
    const node = await cluster.nodeClient(master);
    for await (const page of node.scanIterator({MATCH: 'user:*', COUNT: 200})) keys += Array.isArray(page) ? page.length : 1;
  }
  same(keys, 500, 'SCAN of all masters');
  await cluster.close();
  console.log(`RESP${RESP}`);
}

use(2).then(() => use(3)).then(() => console.log('done')).catch((e) => {
  console.error(e.stack || e);
  process.exit(1);
});
