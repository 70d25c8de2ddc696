// Package stats measures what this machine and its units use of CPU and memory:
// often while an operator looks, and every half minute for the history of the last
// hour. It gathers what the other machines measure.
package stats
