// Package journal is what the logs of units have in common wherever they are
// kept: entries, the contract of a source, filters, following without a gap,
// and merging several logs by time. It knows neither clusters nor screens.
package journal
