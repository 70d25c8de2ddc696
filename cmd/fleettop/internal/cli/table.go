package cli

import (
	"fmt"
	"slices"
	"strings"

	"github.com/spf13/cobra"
)

// column is a field of a table over rows of type R.
type column[R any] struct {
	name string // as in --fields; the heading is in capitals
	cell func(R) cell
}

// tableFlags are fleet's flags of the list verbs.
type tableFlags struct {
	full     bool
	noLegend bool
	fields   string
}

func (t *tableFlags) register(cmd *cobra.Command, defaults string, all []string) {
	f := cmd.Flags()
	f.BoolVarP(&t.full, "full", "l", false, "don't shorten IDs and hashes")
	f.BoolVar(&t.noLegend, "no-legend", false, "leave out the heading")
	f.StringVar(&t.fields, "fields", defaults, "columns to show: "+strings.Join(all, ","))
	_ = cmd.RegisterFlagCompletionFunc("fields", func(_ *cobra.Command, _ []string, given string) ([]cobra.Completion, cobra.ShellCompDirective) {
		return moreOf(all, given), cobra.ShellCompDirectiveNoFileComp | cobra.ShellCompDirectiveNoSpace
	})
}

// moreOf completes a list between commas by what it doesn't have yet.
func moreOf(all []string, given string) []cobra.Completion {
	before := given[:strings.LastIndexByte(given, ',')+1]
	have := strings.Split(before, ",")
	var words []cobra.Completion
	for _, word := range all {
		if !slices.Contains(have, word) {
			words = append(words, before+word)
		}
	}
	return words
}

func columnNames[R any](columns []column[R]) []string {
	names := make([]string, 0, len(columns))
	for _, c := range columns {
		names = append(names, c.name)
	}
	return names
}

// chosen are the columns --fields asks for, in that order.
func chosen[R any](t *tableFlags, columns []column[R]) ([]column[R], error) {
	var out []column[R]
	for name := range strings.SplitSeq(t.fields, ",") {
		found := false
		for _, c := range columns {
			if c.name == strings.ToLower(strings.TrimSpace(name)) {
				out, found = append(out, c), true
			}
		}
		if !found {
			return nil, usageError{fmt.Errorf("unknown field %q: choose from %s", name, strings.Join(columnNames(columns), ", "))}
		}
	}
	return out, nil
}

// printTable prints rows as the flags ask for.
func printTable[R any](a *app, t *tableFlags, columns []column[R], list []R) error {
	rows := make([][]cell, 0, len(list)+1)
	if !t.noLegend {
		head := make([]cell, len(columns))
		for i, c := range columns {
			head[i] = cell{strings.ToUpper(c.name), bold}
		}
		rows = append(rows, head)
	}
	for _, r := range list {
		row := make([]cell, len(columns))
		for i, c := range columns {
			row[i] = c.cell(r)
		}
		rows = append(rows, row)
	}
	return writeTable(a.out, a.coloured(a.out), rows)
}

// shortHash and shortID are fleet's ways to shorten, unless full.
func shortHash(hash string, full bool) string {
	if full || len(hash) <= 7 {
		return hash
	}
	return hash[:7]
}

func shortID(id string, full bool) string {
	if full || len(id) <= 8 {
		return id
	}
	return id[:8] + "..."
}

// machineLegend names a machine as fleet does: 85c0c595.../172.31.5.9.
func machineLegend(id, address string, full bool) string {
	if address == "" {
		return shortID(id, full)
	}
	return shortID(id, full) + "/" + address
}

func orDash(s string) string {
	if s == "" {
		return "-"
	}
	return s
}
