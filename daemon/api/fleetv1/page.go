package fleetv1

import (
	"encoding/base64"
	"encoding/binary"
	"fmt"
)

// PageSize is how many entries of a list a page holds.
const PageSize = 100

// Page is a part of a list.
type Page struct {
	Limit  uint16 // entries it holds at most
	Number uint16 // counted from 1
}

// FirstPage is what is asked for without a token.
func FirstPage() Page { return Page{Limit: PageSize, Number: 1} }

// ParseToken reads a nextPageToken; an empty one asks for the first page.
func ParseToken(token string) (Page, error) {
	if token == "" {
		return FirstPage(), nil
	}
	raw, err := base64.URLEncoding.DecodeString(token)
	if err != nil || len(raw) != 4 {
		return Page{}, fmt.Errorf("invalid nextPageToken %q: give the one that came with the page before", token)
	}
	p := Page{Limit: binary.LittleEndian.Uint16(raw), Number: binary.LittleEndian.Uint16(raw[2:])}
	if p.Limit < 1 || p.Limit > PageSize || p.Number < 1 {
		return Page{}, fmt.Errorf("invalid nextPageToken %q: it asks for page %d of %d entries each, "+
			"and a page holds 1 to %d", token, p.Number, p.Limit, PageSize)
	}
	return p, nil
}

// Token returns the page's nextPageToken.
func (p Page) Token() string {
	var raw [4]byte
	binary.LittleEndian.PutUint16(raw[:], p.Limit)
	binary.LittleEndian.PutUint16(raw[2:], p.Number)
	return base64.URLEncoding.EncodeToString(raw[:])
}

// Of returns the page's range in a list of a length, and the token of the next page, empty for
// none.
func (p Page) Of(length int) (from, to int, next string) {
	from = min(int(p.Limit)*(int(p.Number)-1), length)
	to = min(from+int(p.Limit), length)
	if to < length {
		p.Number++
		next = p.Token()
	}
	return from, to, next
}
