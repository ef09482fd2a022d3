import type { Sealed } from '../store.ts'
import type { SealedPlace, SealedStore, SealedValue } from '../store/sealed.ts'
import type { Engine } from './engine.ts'
import { sealedColumns } from './sealed-columns.ts'

/** All sealed values, column by column, each in the order of its table's primary key. */
export function resealMethods({ client, read, write }: Engine): SealedStore {
  const columns = sealedColumns.map(({ table, key, column }) => ({
    table,
    column,
    list: client.prepare<[after: string, limit: number], { key: string; bytes: Uint8Array }>(
      `select t.${key} as key, s.bytes from ${table} t join sealed s on s.id = t.${column}
       where t.${key} > ? order by t.${key} limit ?`,
    ),
    replace: client.prepare<[bytes: Sealed, size: number, key: string, expected: Sealed]>(
      `update sealed set bytes = ? where size = ?
       and id = (select ${column} from ${table} where ${key} = ?) and bytes = ?`,
    ),
  }))

  const indexOf = ({ table, column }: Place): number =>
    columns.findIndex((one) => one.table === table && one.column === column)

  return {
    listSealed: ({ after, limit }) =>
      read(() => {
        const from = after === null ? null : parse(after)
        let key = from?.key ?? ''
        for (const { table, column, list } of columns.slice(from ? indexOf(from) : 0)) {
          const rows = list.all(key, limit)
          if (rows.length > 0) return rows.map((row) => toValue(table, column, row))
          key = ''
        }
        return []
      }),

    reseal: (values) =>
      write(() => {
        let changed = 0
        for (const { place, expected, sealed } of values) {
          const { key, ...names } = parse(place)
          const column = columns[indexOf({ key, ...names })]
          changed += column?.replace.run(sealed, sealed.length, key, expected).changes ?? 0
        }
        return changed
      }),
  }
}

interface Place {
  table: string
  key: string
  column: string
}

function parse(place: SealedPlace): Place {
  const [first, last] = [place.indexOf('/'), place.lastIndexOf('/')]
  return {
    table: place.slice(0, first),
    key: place.slice(first + 1, last),
    column: place.slice(last + 1),
  }
}

const toValue = (
  table: string,
  column: string,
  { key, bytes }: { key: string; bytes: Uint8Array },
): SealedValue => ({ place: `${table}/${key}/${column}`, sealed: bytes })
