package backup

import (
	"bufio"
	"bytes"
	"compress/gzip"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"hash"
	"io"
	"maps"
	"slices"
	"strings"
	"time"
)

// A backup is a gzip file of JSON, one value a line: a Header, then a record a
// line, {"unit": …}, {"machine": …} or {"event": …}, and last a line with the number of
// records and the SHA-256 of all lines before it. Without that line it was cut off.
const (
	formatName    = "fleettop-backup"
	formatVersion = 1

	longestLine = 8 << 20   // bytes
	mostBytes   = 512 << 20 // unpacked
)

// Kinds of records.
const (
	kindUnit    = "unit"
	kindMachine = "machine"
	kindEvent   = "event"
)

// Header is the first line of a backup.
type Header struct {
	Format   string    `json:"format"`
	Version  int       `json:"version"` // of the format
	Cluster  string    `json:"cluster"` // its ID
	Revision int64     `json:"revision"`
	Time     time.Time `json:"time"`     // when it was made
	Machine  string    `json:"machine"`  // the name of the machine whose daemon made it
	Software string    `json:"software"` // the version of that daemon
}

// trailer is the last line of a backup.
type trailer struct {
	Records int    `json:"records"`
	SHA256  string `json:"sha256"`
}

// Errors of Read, which wrap what else is known.
var (
	errNoBackup = errors.New("this is no backup of a fleettop cluster: give a file that `fleettop backup` made")
	errCutOff   = errors.New("the backup is cut off, its end is missing: use another one")
	errAltered  = errors.New("the backup was altered or damaged, as its checksum doesn't match: use another one")
)

// Write writes a backup.
func Write(w io.Writer, c *Content) error {
	packed := gzip.NewWriter(w)
	sum := sha256.New()
	lines := json.NewEncoder(io.MultiWriter(packed, sum))
	lines.SetEscapeHTML(false)
	head := c.Header
	head.Format, head.Version = formatName, formatVersion
	err := lines.Encode(head)
	count := 0
	record := func(kind string, v any) {
		if err == nil {
			err = lines.Encode(map[string]any{kind: v})
			count++
		}
	}
	for _, u := range c.Units {
		record(kindUnit, u)
	}
	for _, m := range c.Machines {
		record(kindMachine, m)
	}
	for _, e := range c.Events {
		record(kindEvent, e)
	}
	if err == nil {
		end := trailer{Records: count, SHA256: hex.EncodeToString(sum.Sum(nil))}
		err = json.NewEncoder(packed).Encode(map[string]any{"end": end})
	}
	return errors.Join(err, packed.Close())
}

// Read reads a backup to its end and checks it. Its errors are sentences for
// people: the file is no backup, is cut off or altered, or is a newer fleettop's.
func Read(r io.Reader) (*Content, error) {
	packed, err := gzip.NewReader(bufio.NewReader(r))
	if err != nil {
		return nil, errNoBackup
	}
	in := &reader{lines: bufio.NewScanner(io.LimitReader(packed, mostBytes)), sum: sha256.New(), unknown: map[string]int{}}
	in.lines.Buffer(make([]byte, 64<<10), longestLine)
	if err := in.header(); err != nil {
		return nil, err
	}
	for in.scan() {
		done, err := in.record(in.lines.Bytes())
		if err != nil {
			return nil, err
		}
		if done {
			return in.finish()
		}
	}
	return nil, in.broken()
}

// reader is a backup that is being read.
type reader struct {
	lines   *bufio.Scanner
	sum     hash.Hash // of the lines so far
	count   int
	content Content
	unknown map[string]int // records of kinds that this version doesn't know
}

// scan reads the next line, if it is whole: a Scanner also returns what it has of a line when its
// reader fails.
func (in *reader) scan() bool { return in.lines.Scan() && in.lines.Err() == nil }

// broken says why there is no further line.
func (in *reader) broken() error {
	switch err := in.lines.Err(); {
	case err == nil, errors.Is(err, io.ErrUnexpectedEOF):
		return errCutOff
	case errors.Is(err, bufio.ErrTooLong):
		return errAltered
	default:
		return fmt.Errorf("%w (%w)", errAltered, err)
	}
}

func (in *reader) header() error {
	if !in.scan() {
		if err := in.broken(); !errors.Is(err, errAltered) {
			return err
		}
		return errNoBackup
	}
	h := &in.content.Header
	if json.Unmarshal(in.lines.Bytes(), h) != nil || h.Format != formatName {
		return errNoBackup
	}
	if h.Version != formatVersion {
		return fmt.Errorf("the backup was made by fleettop %s in format %d, and this fleettop, or its daemon, reads format %d: "+
			"restore it with that version or a newer one", h.Software, h.Version, formatVersion)
	}
	in.add(in.lines.Bytes())
	return nil
}

func (in *reader) add(line []byte) {
	in.sum.Write(line)
	in.sum.Write([]byte("\n"))
}

// record reads a line, and reports whether it is the last.
func (in *reader) record(line []byte) (last bool, err error) {
	var fields map[string]json.RawMessage
	if json.Unmarshal(line, &fields) != nil || len(fields) != 1 {
		return false, errAltered
	}
	for kind, raw := range fields {
		switch kind {
		case "end":
			var end trailer
			if json.Unmarshal(raw, &end) != nil || end.Records != in.count ||
				end.SHA256 != hex.EncodeToString(in.sum.Sum(nil)) {
				return false, errAltered
			}
			return true, nil
		case kindUnit:
			err = appendTo(&in.content.Units, raw)
		case kindMachine:
			err = appendTo(&in.content.Machines, raw)
		case kindEvent:
			err = appendTo(&in.content.Events, raw)
		default:
			in.unknown[kind]++
		}
	}
	in.add(line)
	in.count++
	return false, err
}

func appendTo[T any](list *[]T, raw json.RawMessage) error {
	var v T
	if err := json.Unmarshal(raw, &v); err != nil {
		return fmt.Errorf("%w (%w)", errAltered, err)
	}
	*list = append(*list, v)
	return nil
}

// finish checks what follows the last line, and whether this version knows all there is.
func (in *reader) finish() (*Content, error) {
	if in.lines.Scan() || in.lines.Err() != nil {
		return nil, errAltered
	}
	if len(in.unknown) > 0 {
		var kinds []string
		for _, kind := range slices.Sorted(maps.Keys(in.unknown)) {
			kinds = append(kinds, fmt.Sprintf("%d of the kind %q", in.unknown[kind], kind))
		}
		return nil, fmt.Errorf("the backup was made by fleettop %s and has records that this version doesn't know (%s), and "+
			"would lose: restore it with that version or a newer one", in.content.Software, strings.Join(kinds, ", "))
	}
	return &in.content, nil
}

// Pack returns a backup as the bytes of its file.
func Pack(c *Content) ([]byte, error) {
	var b bytes.Buffer
	err := Write(&b, c)
	return b.Bytes(), err
}
