// Package backup keeps what a cluster would need to be made anew: it reads a
// cluster's state at one revision, writes it into one file, plans what restoring
// it into another cluster would change, and makes such files by schedule.
package backup
