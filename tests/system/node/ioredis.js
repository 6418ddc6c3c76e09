// What an application does with ioredis' Cluster. Prints one line per step; ends with "done".
'use strict';
const Redis = require('ioredis');

const ports = process.argv[2].split(',').map(Number);
const password = process.argv[3] || undefined;
const notYet = (process.env.NOT_YET || '').split(',');

async function main() {
  const cluster = new Redis.Cluster(ports.map((port) => ({host: '127.0.0.1', port})), {
    redisOptions: {password, connectTimeout: 5000},
    clusterRetryStrategy: (times) => (times > 20 ? null : Math.min(times * 50, 500)),
    scaleReads: 'master',
  });
  await new Promise((resolve, reject) => {
    cluster.on('ready', resolve);
    cluster.on('end', () => reject(new Error('the cluster client ended')));
  });
  console.log('ready', cluster.nodes('master').length);
  for (let i = 0; i < 500; i++) await cluster.set(`user:${i}`, `name-${i}`);
  for (let i = 0; i < 500; i++) {
    const got = await cluster.get(`user:${i}`);
    if (got !== `name-${i}`) throw new Error(`user:${i} is ${got}`);
  }
  console.log('set and get');
  const results = await cluster.pipeline().hset('{a}h', 'f', '1').hincrby('{a}h', 'f', 2).hgetall('{a}h').exec();
  if (results[2][1].f !== '3') throw new Error(JSON.stringify(results));
  console.log('pipeline');
  const both = await cluster.multi({pipeline: true}).set('{a}x', '1').incr('{a}x').exec();
  if (both[1][1] !== 2) throw new Error(JSON.stringify(both));
  console.log('multi');
  await cluster.mset('{a}1', '1', '{a}2', '2');
  const values = await cluster.mget('{a}1', '{a}2');
  if (values.join() !== '1,2') throw new Error(values.join());
  let refused = '';
  try {
    await cluster.mget('a', 'b', 'c');
  } catch (e) {
    refused = e.message;
  }
  if (!refused.includes("CROSSSLOT")) throw new Error(`mget over slots: ${refused}`);
  console.log('multi-key');
  if (!notYet.includes('pub/sub')) {
    const subscriber = cluster.nodes('master')[0].duplicate();
    const message = new Promise((resolve) => subscriber.on('message', (_, m) => resolve(m)));
    await subscriber.subscribe('news');
    await cluster.publish('news', 'hello');
    if ((await message) !== 'hello') throw new Error('another message');
    console.log('publish');
    subscriber.disconnect();
  }
  let keys = 0;
  for (const node of cluster.nodes('master')) {
    let cursor = '0';
    do {
      const [next, page] = await node.scan(cursor, 'MATCH', 'user:*', 'COUNT', 200);
      keys += page.length;
      cursor = next;
    } while (cursor !== '0');
  }
  if (keys !== 500) throw new Error(`scan found ${keys}`);
  console.log('scan');
  if (!notYet.includes('scripts')) {
    const lua = await cluster.eval("return redis.call('GET', KEYS[1])", 1, 'user:7');
    if (lua !== 'name-7') throw new Error(lua);
    console.log('eval');
  }
  cluster.disconnect();
  console.log('done');
}

main().catch((e) => {
  console.error(e.stack || e);
  process.exit(1);
});
