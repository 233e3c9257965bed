import tsdoc from 'eslint-plugin-tsdoc'
import tseslint from 'typescript-eslint'

const onlyCmdReadsTheProcess = [
  'error',
  { name: 'process', message: 'Only cmd/ reads the process.' },
]

export default tseslint.config(
  { ignores: ['dist/', 'latchkey-dev/', '**/*.config.js'] },
  tseslint.configs.strictTypeChecked,
  tseslint.configs.stylisticTypeChecked,
  {
    languageOptions: {
      parserOptions: { projectService: true, tsconfigRootDir: import.meta.dirname },
    },
    linterOptions: { reportUnusedDisableDirectives: 'error' },
    plugins: { tsdoc },
    rules: {
      'tsdoc/syntax': 'error',
      'no-console': 'error',
      'no-restricted-globals': onlyCmdReadsTheProcess,
      'max-lines': ['error', { max: 300, skipBlankLines: true, skipComments: true }],
      '@typescript-eslint/explicit-module-boundary-types': 'error',
      '@typescript-eslint/switch-exhaustiveness-check': [
        'error',
        { considerDefaultExhaustiveForUnions: true },
      ],
      '@typescript-eslint/restrict-template-expressions': ['error', { allowNumber: true }],
      '@typescript-eslint/no-unused-vars': [
        'error',
        { argsIgnorePattern: '^_', varsIgnorePattern: '^_' },
      ],
      // gRPC handlers and port methods are asynchronous by contract, whether or not one awaits.
      '@typescript-eslint/require-await': 'off',
    },
  },
  {
    files: ['cmd/**', 'scripts/**', 'test/**'],
    rules: { 'no-console': 'off', 'no-restricted-globals': 'off' },
  },
)
