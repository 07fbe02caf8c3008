package bench

import (
	"database/sql"
	"encoding/csv"
	"encoding/json"
	"errors"
	"io"
	"math"
	"strconv"
	"time"

	"github.com/nnid/nnid/core/fault"
)

// RankOneStore keeps the records of finished runs of solvers in a SQLite database.
type RankOneStore struct{ db *sql.DB }

// The columns of the table "extractions", in order; hash is its key. NULL is a number that there is none of.
const rankOneSchema = `CREATE TABLE IF NOT EXISTS extractions (
	hash TEXT PRIMARY KEY, solver TEXT NOT NULL, family TEXT NOT NULL, seed INTEGER NOT NULL, spec TEXT NOT NULL,
	outcome TEXT NOT NULL, reason TEXT NOT NULL, d INTEGER, m INTEGER, wanted INTEGER, found INTEGER, returned INTEGER,
	max_error REAL, median_error REAL, seconds REAL, cpu_seconds REAL, statistics TEXT, timeout_seconds REAL, version TEXT, finished TEXT) WITHOUT ROWID`

const rankOneColumns = `hash, solver, family, seed, spec, outcome, reason, d, m, wanted, found, returned,
	max_error, median_error, seconds, cpu_seconds, statistics, timeout_seconds, version, finished`

// OpenRankOneStore opens or creates the database at path.
func OpenRankOneStore(path string) (*RankOneStore, error) {
	db, err := sql.Open("sqlite", path)
	if err != nil {
		return nil, fault.New(fault.Usage, "the results %s cannot be opened: %w", path, err)
	}
	db.SetMaxOpenConns(1) // pragmas are a connection's, and the writers are few
	for _, statement := range []string{"PRAGMA busy_timeout = 10000", "PRAGMA synchronous = FULL", rankOneSchema, "SELECT " + rankOneColumns + " FROM extractions LIMIT 0"} {
		if _, err := db.Exec(statement); err != nil {
			return nil, fault.New(fault.Usage, "%s is no database of results (%w); move it away or give another folder", path, errors.Join(err, db.Close()))
		}
	}
	return &RankOneStore{db}, nil
}

// Close closes the database.
func (s *RankOneStore) Close() error { return s.db.Close() }

// Put keeps the record, in place of an earlier one of the same run.
func (s *RankOneStore) Put(r *RankOneRecord) error {
	spec, err := json.Marshal(r.Spec)
	if err != nil {
		return err
	}
	statistics, err := statisticsText(r.Statistics)
	if err != nil {
		return err
	}
	number := func(v float64) any {
		if math.IsNaN(v) {
			return nil
		}
		return v
	}
	_, err = s.db.Exec("INSERT OR REPLACE INTO extractions ("+rankOneColumns+") VALUES (?,?,?,?,?,?,?,?,?,?,?,?,?,?,?,?,?,?,?,?)",
		r.Hash, r.Spec.Solver, r.Spec.Family, int64(r.Spec.Seed), string(spec), string(r.Outcome), r.Reason,
		r.Dim, r.Subspace, r.Wanted, r.Found, r.Returned, number(r.MaxError), number(r.MedianError), r.Seconds, number(r.ownSeconds()),
		statistics, r.Timeout.Seconds(), r.Version, r.Finished.Format(time.RFC3339))
	if err != nil {
		return fault.New(fault.Usage, "a result cannot be kept: %w", err)
	}
	return nil
}

// Get returns the record of the run with the given hash, nil when there is none.
func (s *RankOneStore) Get(hash string) (*RankOneRecord, error) {
	r := &RankOneRecord{}
	var solver, family, spec, statistics, finished string
	var seed int64
	var timeout float64
	var numbers [3]sql.NullFloat64
	err := s.db.QueryRow("SELECT "+rankOneColumns+" FROM extractions WHERE hash = ?", hash).Scan(
		&r.Hash, &solver, &family, &seed, &spec, &r.Outcome, &r.Reason, &r.Dim, &r.Subspace, &r.Wanted, &r.Found, &r.Returned,
		&numbers[0], &numbers[1], &r.Seconds, &numbers[2], &statistics, &timeout, &r.Version, &finished)
	if errors.Is(err, sql.ErrNoRows) {
		return nil, nil
	}
	if err == nil {
		err = json.Unmarshal([]byte(spec), &r.Spec)
	}
	if err == nil {
		err = json.Unmarshal([]byte(statistics), &r.Statistics)
	}
	if err == nil {
		r.Finished, err = time.Parse(time.RFC3339, finished)
	}
	if err != nil {
		return nil, fault.New(fault.Usage, "a kept result cannot be read: %w", err)
	}
	r.Timeout = time.Duration(timeout * float64(time.Second))
	r.MaxError, r.MedianError = math.NaN(), math.NaN()
	if numbers[0].Valid {
		r.MaxError = numbers[0].Float64
	}
	if numbers[1].Valid {
		r.MedianError = numbers[1].Float64
	}
	return r, nil
}

// WriteCSV writes every run of the summary as a line.
func (s *RankOneSummary) WriteCSV(w io.Writer) error {
	out := csv.NewWriter(w)
	_ = out.Write([]string{"cell", "solver", "seed", "outcome", "reason", "family", "d", "m", "angle", "perturbation", "wanted", "found", "returned",
		"max_error", "median_error", "seconds", "cpu_seconds", "statistics", "version", "hash"})
	number := func(v float64) string {
		if math.IsNaN(v) {
			return ""
		}
		return strconv.FormatFloat(v, 'g', 6, 64)
	}
	for _, c := range s.Cells {
		for _, r := range c.Records {
			statistics, err := statisticsText(r.Statistics)
			if err != nil {
				return err
			}
			_ = out.Write([]string{
				c.Cell.Name, r.Spec.Solver, strconv.FormatUint(r.Spec.Seed, 10), string(r.Outcome), r.Reason, r.Spec.Family,
				strconv.Itoa(r.Dim), strconv.Itoa(r.Subspace), number(r.Spec.Angle), number(r.Spec.Perturbation),
				strconv.Itoa(r.Wanted), strconv.Itoa(r.Found), strconv.Itoa(r.Returned), number(r.MaxError), number(r.MedianError),
				number(r.Seconds), number(r.ownSeconds()), statistics, r.Version, r.Hash,
			})
		}
	}
	out.Flush()
	return out.Error()
}
