// Package stats measures what this machine and its units use of CPU and
// memory, while somebody looks and at no other time, and gathers what the other
// machines measure.
package stats
