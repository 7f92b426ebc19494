//! Scans: each page is one statement, which sees what was committed before it.

use std::fmt::Write as _;

use tokio_postgres::types::ToSql;

use super::{
    failure::Failure,
    follow::Newest,
    readers::Readers,
    schema::{self, Found},
    terms,
};
use crate::store::{PAGE_BYTES, PAGE_RECORDS, PAGE_SEARCHED, Page, PageBuilder, Record, Scan};

/// How many sequence numbers the database searches for one page by its indexes, so that a statement never takes long,
/// also where few records are found and the register is large.
const SEARCHED_BY_INDEX: u64 = 1_000_000;

/// Where a scan is made.
pub(super) struct Scanned<'s> {
    pub(super) readers: &'s Readers,
    pub(super) newest: &'s Newest,
    pub(super) found: &'s Found,
}

impl Scanned<'_> {
    /// The newest sequence number at this moment.
    pub(super) async fn last_sequence(&self) -> Result<u64, Failure> {
        let select = "SELECT last_sequence FROM shippy_register WHERE number = $1";
        let rows = self.readers.read(select, &[&self.found.number]).await?;
        let gone = || Failure::Damaged("the register is no longer in the database".into());
        let last = schema::sequence(rows.first().ok_or_else(gone)?.try_get(0)?)?;
        self.newest.is_at_least(last);
        Ok(last)
    }

    /// The next page of what `scan` asks for.
    pub(super) async fn page(&self, scan: &Scan) -> Result<Page, Failure> {
        let conditions = Conditions::of(scan, self.found);
        let part = self.part(scan, conditions.searched).await?;
        let query = conditions.query(scan.newest_first);
        // What cannot be counted to is past every end.
        let number = |sequence| i64::try_from(sequence).unwrap_or(i64::MAX);
        let (after, through) = (number(part.after), number(part.through));
        let limit = i64::try_from(conditions.limit).unwrap_or(i64::MAX);
        let mut parameters: Vec<&(dyn ToSql + Sync)> =
            vec![&self.found.number, &after, &through, &limit];
        if conditions.by_ids {
            parameters.push(&scan.ids);
        }
        if !conditions.terms.is_empty() {
            parameters.push(&conditions.terms);
        }
        for time in [&conditions.created_from, &conditions.created_until] {
            parameters.extend(time.iter().map(|time| time as &(dyn ToSql + Sync)));
        }
        let rows = self.readers.read(&query, &parameters).await?;

        let mut page = PageBuilder::new(scan);
        let mut bytes_before_last = 0;
        let mut bytes = 0;
        let mut last = 0;
        for row in &rows {
            if !page.has_room() {
                return Ok(page.finish());
            }
            let record = Record {
                sequence: schema::sequence(row.try_get(0)?)?,
                created_at: row.try_get(1)?,
                created_by: row.try_get::<_, Option<_>>(3)?.unwrap_or_default(),
                body: row.try_get(2)?,
            };
            page.offer(record)
                .map_err(|error| Failure::Damaged(error.to_string()))?;
            bytes_before_last = bytes;
            bytes += record.body.len();
            last = record.sequence;
        }
        if rows.len() == conditions.limit || bytes_before_last >= PAGE_BYTES {
            // There may be more in this part.
            page.stop_at(last);
        } else if let Some(end) = part.stops_at {
            page.stop_at(end);
        }
        Ok(page.finish())
    }

    /// What of the range of `scan` is searched for one page, of which that many numbers may be, if that is limited.
    async fn part(&self, scan: &Scan, searched: Option<u64>) -> Result<Part, Failure> {
        let Scan { after, through, .. } = *scan;
        let whole = Part {
            after,
            through,
            stops_at: None,
        };
        let Some(searched) = searched else {
            return Ok(whole);
        };
        // Behind the newest there is nothing to search.
        let end = if through > self.newest.known() {
            through.min(self.last_sequence().await?)
        } else {
            through
        };
        if end.saturating_sub(after) <= searched {
            return Ok(whole);
        }
        Ok(if scan.newest_first {
            let after = end - searched;
            Part {
                after,
                through: end,
                stops_at: Some(after + 1),
            }
        } else {
            let through = after + searched;
            Part {
                after,
                through,
                stops_at: Some(through),
            }
        })
    }
}

/// Some of a scan's range.
struct Part {
    after: u64,
    through: u64,
    /// The sequence number that is searched last, where it is not the range's own end.
    stops_at: Option<u64>,
}

/// What the database is asked for; the page builder looks at the rest.
struct Conditions {
    by_ids: bool,
    created_from: Option<i64>,
    created_until: Option<i64>,
    terms: Vec<i64>,
    /// Most rows of an answer.
    limit: usize,
    /// How many sequence numbers may be searched; `None` where the answer is full before they are many.
    searched: Option<u64>,
}

impl Conditions {
    fn of(scan: &Scan, found: &Found) -> Self {
        let filter = &scan.filter;
        let by_ids = !scan.ids.is_empty();
        let mut conditions = Self {
            by_ids,
            created_from: None,
            created_until: None,
            terms: Vec::new(),
            // One more than a page takes, so that it is known whether there is more.
            limit: scan.limit.min(PAGE_RECORDS) + 1,
            searched: None,
        };
        if filter.is_open() {
            return conditions;
        }
        if found.features.indexes {
            conditions.terms = terms::of_filter(found.number, filter);
            conditions.created_from = filter.created_from;
            conditions.created_until = filter.created_until;
        }
        let by_time = conditions.created_from.or(conditions.created_until);
        if by_time.is_some() || !conditions.terms.is_empty() {
            conditions.searched = (!by_ids).then_some(SEARCHED_BY_INDEX);
        } else {
            // Each record has to be looked at here.
            conditions.limit = PAGE_SEARCHED + 1;
            conditions.searched = (!by_ids).then_some(PAGE_SEARCHED as u64);
        }
        conditions
    }

    /// A record is among the rows unless those before it, but for the one just before, fill a page: what a page takes,
    /// and one more. The length of a body is known without reading it.
    fn query(&self, newest_first: bool) -> String {
        let order = if newest_first { "DESC" } else { "ASC" };
        // With ids, the sums keep the primary key out: the range may be the whole register.
        let mut conditions = String::from(if self.by_ids {
            "register + 0 = $1 AND sequence + 0 > $2 AND sequence + 0 <= $3"
        } else {
            "register = $1 AND sequence > $2 AND sequence <= $3"
        });
        let mut number = 4;
        let mut add = |condition: &str, kind: &str| {
            number += 1;
            let _ = write!(
                conditions,
                " AND {condition} {}",
                kind.replace('#', &number.to_string())
            );
        };
        if self.by_ids {
            add("id =", "ANY($#::TEXT[])");
        }
        if !self.terms.is_empty() {
            add("terms @>", "$#::BIGINT[]");
        }
        if self.created_from.is_some() {
            add("created_at >=", "$#::BIGINT");
        }
        if self.created_until.is_some() {
            add("created_at <", "$#::BIGINT");
        }
        format!(
            "SELECT sequence, created_at, body, created_by FROM (
                SELECT sequence, created_at, body, created_by, coalesce(sum(octet_length(body)) OVER (
                    ORDER BY sequence {order} ROWS BETWEEN UNBOUNDED PRECEDING AND 2 PRECEDING
                ), 0) AS bytes_before
                FROM (
                    SELECT sequence, created_at, body, created_by FROM shippy_consignment
                    WHERE {conditions} ORDER BY sequence {order} LIMIT $4
                ) AS limited
            ) AS summed WHERE bytes_before < {PAGE_BYTES} ORDER BY sequence {order}"
        )
    }
}
