// Runs what users of @clickhouse/client do, and prints one JSON object: scenario -> what came out, or its error.
// Usage: node scenarios.mjs <path of the package> <url> <user> <password>
import { createRequire } from 'node:module'
import { randomUUID } from 'node:crypto'
import { Readable } from 'node:stream'

const [packagePath, url, username, password] = process.argv.slice(2)
const { createClient, ClickHouseError } = createRequire(import.meta.url)(packagePath)
const open = (options = {}) => createClient({ url, username, password, log: { level: 127 }, ...options })
const client = open()
const text = async (stream) => {
  const chunks = []
  for await (const chunk of stream) chunks.push(Buffer.from(chunk))
  return Buffer.concat(chunks).toString()
}
const caught = async (work) => {
  try {
    await work()
    return 'nothing was thrown'
  } catch (error) {
    return error instanceof ClickHouseError
      ? { code: error.code, type: error.type, message: error.message }
      : { other: String(error.message) }
  }
}
const table = async (columns = 'id UInt64, name String, sku Array(UInt8)') => {
  const name = `node_${randomUUID().replaceAll('-', '')}`
  await client.command({ query: `CREATE TABLE ${name} (${columns}) ENGINE MergeTree ORDER BY tuple()` })
  return name
}
const rows = (name) =>
  client.query({ query: `SELECT * FROM ${name} ORDER BY 1`, format: 'JSONCompactEachRow' }).then((set) => set.json())

const scenarios = {
  ping: () => client.ping().then((answer) => answer.success),
  pingWithSelect: () => client.ping({ select: true }).then((answer) => answer.success),
  pingWithBadPassword: () =>
    open({ password: 'wrong' })
      .ping({ select: true })
      .then((answer) => [answer.success, answer.error?.code, answer.error?.type]),
  queryJson: async () => {
    const set = await client.query({ query: 'SELECT number AS n FROM numbers(3)' })
    const json = await set.json()
    return [json.rows, json.data, json.meta, typeof json.statistics.elapsed]
  },
  ownQueryId: async () => {
    const query_id = randomUUID()
    const set = await client.query({ query: 'SELECT 1', query_id })
    await set.text()
    return set.query_id === query_id
  },
  headersOfCommand: async () => {
    const tsv = await client.command({ query: 'SELECT 42 FORMAT TSV' })
    const csv = await client.exec({ query: 'SELECT 42 FORMAT CSV' })
    await text(csv.stream)
    return [tsv.response_headers['content-type'], csv.response_headers['content-type']]
  },
  execWithParameters: async () => {
    const result = await client.exec({
      query: 'SELECT plus({a: Int32}, {b: Int32}), {s: String}, {l: Array(String)}, {d: DateTime64(3)}',
      query_params: { a: 10, b: 20, s: "it's\t\n\\", l: ["x'y", ''], d: new Date('2024-01-02T03:04:05.678Z') },
    })
    return text(result.stream)
  },
  semicolons: async () => {
    const answers = []
    for (const query of [`SELECT ';' FORMAT CSV`, 'EXISTS system.databases;', 'EXISTS system.foobar;;;;;;']) {
      answers.push(await text((await client.exec({ query })).stream))
    }
    return answers
  },
  insertObjects: async () => {
    const name = await table()
    const result = await client.insert({
      table: name,
      format: 'JSONEachRow',
      values: [
        { id: '42', name: "it's; -- \n\n", sku: [0, 1] },
        { id: '43', name: 'b', sku: [] },
      ],
    })
    return [result.executed, result.summary.written_rows, await rows(name)]
  },
  insertStream: async () => {
    const name = await table()
    const values = Readable.from(
      (async function* () {
        for (let number = 0; number < 20000; number++) yield [String(number), `n${number}`, [number % 256]]
      })(),
    )
    await client.insert({ table: name, format: 'JSONCompactEachRow', values })
    const set = await client.query({ query: `SELECT count() c, sum(id) s FROM ${name}`, format: 'JSONEachRow' })
    return set.json()
  },
  insertSomeColumns: async () => {
    const name = await table()
    await client.insert({ table: name, columns: ['id', 'name'], format: 'JSONEachRow', values: [{ id: 1, name: 'a' }] })
    await client.insert({ table: name, columns: { except: ['sku'] }, format: 'JSONEachRow', values: [{ id: 2 }] })
    return rows(name)
  },
  insertRawStream: async () => {
    const name = await table()
    const result = await client.exec({
      query: `INSERT INTO ${name} FORMAT CSV`,
      values: Readable.from(['42,foobar,"[1,2]"'], { objectMode: false }),
    })
    await text(result.stream)
    return rows(name)
  },
  insertBroken: async () => {
    const name = await table()
    const error = await caught(() =>
      client.insert({ table: name, format: 'JSONEachRow', values: [{ id: 'not a number' }] }),
    )
    return [error.type, await rows(name)]
  },
  insertParquet: async () => {
    const name = await table('id UInt64, name String')
    const parquet = await client.exec({ query: `SELECT number AS id, 'p' AS name FROM numbers(3) FORMAT Parquet` })
    const result = await client.exec({ query: `INSERT INTO ${name} FORMAT Parquet`, values: parquet.stream })
    await text(result.stream)
    return rows(name)
  },
  streamedRows: async () => {
    const set = await client.query({ query: 'SELECT number FROM numbers(200000)', format: 'JSONEachRow' })
    let sum = 0
    for await (const chunk of set.stream()) for (const row of chunk) sum += Number(row.json().number)
    return sum
  },
  abandonedStream: async () => {
    const set = await client.query({ query: 'SELECT number FROM system.numbers', format: 'CSV' })
    for await (const chunk of set.stream()) if (chunk.length) break
    set.close()
    return (await client.query({ query: 'SELECT 1', format: 'CSV' })).text()
  },
  errorInTheMiddle: async () => {
    const set = await client.query({
      query: `SELECT number, throwIf(number = 500, 'in the middle') FROM system.numbers LIMIT 100000`,
      format: 'CSV',
      clickhouse_settings: {
        http_write_exception_in_output_format: 0,
        http_response_buffer_size: '2',
        max_block_size: '1',
      },
    })
    let count = 0
    const error = await caught(async () => {
      for await (const chunk of set.stream()) count += chunk.length
    })
    return [count > 50, JSON.stringify(error).includes('in the middle')]
  },
  errorWithProgressInHeaders: () =>
    caught(async () => {
      const set = await client.query({
        query:
          `SELECT count() FROM numbers(20) WHERE sleepEachRow(0.05) = 0 AND NOT throwIf(number = 10, 'simulated') ` +
          'SETTINGS max_block_size = 1',
        clickhouse_settings: { send_progress_in_http_headers: 1, http_headers_progress_interval_ms: '100' },
      })
      await set.text()
    }).then((error) => [error.code, error.message.includes('simulated')]),
  unknownIdentifier: () => caught(() => client.query({ query: 'SELECT number FR' })),
  unknownTable: () => caught(() => client.query({ query: 'SELECT * FROM unknown_table' })),
  syntaxError: () => caught(() => client.query({ query: 'SELECT *\n/* a\ncomment */\nFRON unknown_table' })),
  tableExists: async () => {
    const name = await table()
    return caught(() => client.command({ query: `CREATE TABLE ${name} (a Int8) ENGINE Memory` }))
  },
  unknownSetting: () => caught(() => client.query({ query: 'SELECT 1', clickhouse_settings: { foobar: 1 } })),
  compression: async () => {
    const packed = open({ compression: { request: true, response: true } })
    const name = await table('id UInt64, name String')
    const values = Array.from({ length: 1000 }, (_, id) => ({ id, name: 'x'.repeat(50) }))
    await packed.insert({ table: name, format: 'JSONEachRow', values })
    const set = await packed.query({ query: `SELECT id FROM ${name} ORDER BY id`, format: 'JSONEachRow' })
    const answer = (await set.json()).length
    await packed.close()
    return [answer, set.response_headers['content-encoding']]
  },
  session: async () => {
    const own = open({ session_id: randomUUID() })
    await own.command({ query: 'CREATE TEMPORARY TABLE kept (a Int8)' })
    await own.insert({ table: 'kept', values: [{ a: 1 }], format: 'JSONEachRow' })
    const answer = await (await own.query({ query: 'SELECT * FROM kept', format: 'JSONEachRow' })).json()
    await own.close()
    return answer
  },
  abort: async () => {
    const controller = new AbortController()
    const running = caught(() =>
      client.query({
        query: 'SELECT sleepEachRow(1) FROM numbers(60)',
        abort_signal: controller.signal,
        clickhouse_settings: { max_block_size: '1', wait_end_of_query: 1 },
      }),
    )
    setTimeout(() => controller.abort(), 200)
    return [(await running).other, await (await client.query({ query: 'SELECT 1', format: 'CSV' })).text()]
  },
  readonlySettingsOfTheQuery: () =>
    caught(() => client.command({ query: 'CREATE TABLE x (a Int8) ENGINE Memory', clickhouse_settings: { readonly: '2' } })),
  totals: async () => {
    const set = await client.query({
      query: 'SELECT number % 2 AS k, count() AS c FROM numbers(5) GROUP BY k WITH TOTALS ORDER BY k',
      format: 'JSON',
    })
    const json = await set.json()
    return [json.data, json.totals]
  },
  queryLog: async () => {
    const query_id = randomUUID()
    await (await client.query({ query: 'SELECT 144', format: 'JSON', query_id })).text()
    const set = await client.query({
      query: 'SELECT type, query, initial_query_id FROM system.query_log WHERE query_id = {id: String} ORDER BY type',
      query_params: { id: query_id },
      format: 'JSONEachRow',
    })
    return (await set.json()).map((row) => [row.type, row.query, row.initial_query_id === query_id])
  },
  manyAtOnce: async () => {
    const many = open({ max_open_connections: 10 })
    const sets = await Promise.all(
      Array.from({ length: 60 }, (_, n) => many.query({ query: `SELECT ${n}`, format: 'CSV' }).then((s) => s.text())),
    )
    await many.close()
    return sets.every((answer, n) => answer === `${n}\n`)
  },
  keepAlive: async () => {
    const one = open({ max_open_connections: 1, keep_alive: { enabled: true, idle_socket_ttl: 2000 } })
    let answers = ''
    for (let n = 0; n < 20; n++) answers += await (await one.query({ query: `SELECT ${n}`, format: 'CSV' })).text()
    await one.close()
    return answers.split('\n').length
  },
  role: () =>
    caught(async () => (await client.query({ query: 'SELECT 1', role: 'no_such_role' })).text()).then((e) => typeof e),
}

const answers = {}
for (const [name, work] of Object.entries(scenarios)) {
  try {
    answers[name] = { value: await work() }
  } catch (error) {
    answers[name] = { failed: String(error.stack ?? error) }
  }
}
await client.close()
console.log(JSON.stringify(answers))
