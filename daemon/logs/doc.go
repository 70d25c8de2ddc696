// Package logs serves the logs of units as one stream that follows each unit
// wherever it goes. On each machine one reader serves any number of viewers; any
// daemon answers for any unit by asking the machines that have something of
// it, which filter what they have. What becomes of their lines is decided in
// package stitch; a session here carries facts to it and lines from it.
package logs
