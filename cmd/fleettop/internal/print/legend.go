package print

// ShortHash shortens a file's hash as fleet does, unless it is to be shown in full.
func ShortHash(hash string, full bool) string {
	if full || len(hash) <= 7 {
		return hash
	}
	return hash[:7]
}

// ShortID shortens a machine's ID as fleet does, unless it is to be shown in full.
func ShortID(id string, full bool) string {
	if full || len(id) <= 8 {
		return id
	}
	return id[:8] + "..."
}

// Machine names a machine as fleet does: 85c0c595.../172.31.5.9.
func Machine(id, address string, full bool) string {
	if address == "" {
		return ShortID(id, full)
	}
	return ShortID(id, full) + "/" + address
}

// OrDash returns a text, or a dash for none.
func OrDash(s string) string {
	if s == "" {
		return "-"
	}
	return s
}
