-- The table that `cargo xtask bench export` exports: the same content each time, because everything but the row's number
-- comes from hashes of it. :rows is put in by who runs it.
CREATE FUNCTION pick(n bigint, salt bigint, below bigint) RETURNS bigint LANGUAGE sql IMMUTABLE AS
    'SELECT (hashint8extended(n, salt) & 9223372036854775807) % below';

CREATE TABLE orders (
    id bigint NOT NULL,              -- beyond 2^53, where floats lose digits
    reference uuid NOT NULL,
    customer text NOT NULL,          -- Chinese
    address text NOT NULL,           -- commas
    note text,                       -- quotes, line breaks, empty, null
    status text NOT NULL,
    amount numeric(18,2) NOT NULL,
    tax numeric(18,2),
    quantity int NOT NULL,
    express bool NOT NULL,
    created_at timestamptz NOT NULL,
    paid_at timestamptz,
    details jsonb NOT NULL,
    coupon text
);

INSERT INTO orders
SELECT
    9007199254740993 + n,
    md5(n::text)::uuid,
    (ARRAY['王小明', '李娜', '張偉', '陈静', '刘洋', '赵敏', '欧阳修', '黄河'])[1 + pick(n, 1, 8)] || pick(n, 2, 100000),
    format('%s号, 中山路, %s', pick(n, 3, 2000), (ARRAY['上海', '北京', '广州', '深圳', '成都'])[1 + pick(n, 4, 5)]),
    CASE pick(n, 5, 10)
        WHEN 0 THEN NULL
        WHEN 1 THEN ''
        WHEN 2 THEN E'first line\nsecond line, with a comma'
        WHEN 3 THEN format('he said "order %s", twice', n)
        ELSE format('leave parcel %s with the neighbour', pick(n, 6, 1000000))
    END,
    (ARRAY['new', 'paid', 'sent', 'returned', 'cancelled'])[1 + pick(n, 7, 5)],
    (pick(n, 8, 100000000) - 1000000)::numeric / 100,
    CASE WHEN pick(n, 9, 4) > 0 THEN pick(n, 10, 1000000)::numeric / 100 END,
    pick(n, 11, 50)::int,
    pick(n, 12, 3) = 0,
    timestamptz '2021-01-01 00:00:00+00' + pick(n, 13, 126230400000000) * interval '1 microsecond',
    CASE WHEN pick(n, 14, 3) > 0
        THEN timestamptz '2021-01-01 00:00:00+00' + pick(n, 15, 126230400) * interval '1 second' END,
    jsonb_build_object('channel', (ARRAY['web', 'app', 'shop'])[1 + pick(n, 16, 3)], 'items', pick(n, 17, 9),
        'tags', ARRAY['新', 'sale'], 'rate', pick(n, 18, 1000)::numeric / 1000),
    CASE WHEN pick(n, 19, 5) = 0 THEN format('SAVE-%s', pick(n, 20, 10000)) END
FROM generate_series(1, :rows) AS n;

VACUUM (ANALYZE) orders;
CHECKPOINT;
