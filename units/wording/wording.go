// Package wording puts figures into words for people.
package wording

import (
	"strconv"
	"strings"
)

// Count is a number and what it counts, a regular noun: "1 entry", "2 entries".
func Count(n int, noun string) string {
	if n == 1 {
		return "1 " + noun
	}
	if stem, ok := strings.CutSuffix(noun, "ry"); ok {
		noun = stem + "rie"
	}
	return strconv.Itoa(n) + " " + noun + "s"
}
