// Package connectivity finds out which machine reaches which: by gossip, by a
// probe, through the store and over the API. Each machine answers for itself, and
// only while an operator asks.
package connectivity
