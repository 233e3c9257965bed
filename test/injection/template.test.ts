import test from 'ava'
import fc from 'fast-check'
import { parseTemplate, templateKeys } from '../../src/injection/template.ts'

const partsOf = (template: string): unknown => {
  const parsed = parseTemplate(template)
  return 'parts' in parsed ? parsed.parts : parsed.problem
}

test('text and placeholders come in order', (t) => {
  t.deepEqual(partsOf('user={{ username }}\npw={{password|trim | uri}}!'), [
    { kind: 'text', text: 'user=' },
    { kind: 'value', key: 'username', filters: [] },
    { kind: 'text', text: '\npw=' },
    { kind: 'value', key: 'password', filters: ['trim', 'uri'] },
    { kind: 'text', text: '!' },
  ])
})

test('braces that are not doubled, and closing ones, are text', (t) => {
  t.deepEqual(partsOf('{ a } }} {"b":{}}'), [{ kind: 'text', text: '{ a } }} {"b":{}}' }])
})

test('doubled braces can be written', (t) => {
  t.deepEqual(partsOf('{{ "{{" }} a }}{{"{{"}}'), [
    { kind: 'text', text: '{{' },
    { kind: 'text', text: ' a }}' },
    { kind: 'text', text: '{{' },
  ])
})

test('there is nothing to execute', (t) => {
  for (const inside of [
    'constructor.constructor("return process")()',
    'a b',
    '#if a',
    '> partial',
    '`x`',
    '${a}',
    '',
    '__proto__["a"]',
    'a.b()',
    'a || b',
    '{{ a',
  ]) {
    t.is(typeof partsOf(`{{ ${inside} }}`), 'string', inside)
  }
})

test('keys are named once, in order of first use', (t) => {
  const parsed = parseTemplate('{{ b }}{{ a }}{{ b | json }}')
  t.deepEqual('parts' in parsed && templateKeys(parsed.parts), ['b', 'a'])
})

test('any text is parsed or refused with the place of the fault', (t) => {
  const scrap = fc.constantFrom('{', '}', '{{', '}}', ' ', 'a', '|', 'json', '"{{"', '\n', '.')
  fc.assert(
    fc.property(
      fc.array(scrap, { maxLength: 20 }).map((parts) => parts.join('')),
      (template) => {
        const parsed = parseTemplate(template)
        if ('parts' in parsed) {
          const text = parsed.parts.map((part) => (part.kind === 'text' ? part.text : '')).join('')
          t.true(text.length <= template.length)
        } else {
          t.is(template.slice(parsed.offset, parsed.offset + 2), '{{')
        }
      },
    ),
    { numRuns: 1000 },
  )
})
