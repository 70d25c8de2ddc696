// Package print writes what the command line says: tables, lines of logs and
// JSON, in colours where the reader's terminal shows them.
package print
