//! Records like those of a shop's orders: the same ones every time, and for every writer that is compared.

/// One order.
pub struct Order {
    pub id: i64,
    pub number: [u8; 16],
    pub customer: String,
    pub email: String,
    pub status: &'static str,
    /// In cents.
    pub amount: i64,
    pub quantity: i32,
    /// Microseconds since 2000-01-01T00:00:00Z.
    pub created: i64,
    pub paid: Option<i64>,
    pub details: String,
    pub gift: bool,
    pub note: Option<String>,
    pub city: &'static str,
    pub weight: f64,
}

const STATUSES: [&str; 5] = ["pending", "paid", "shipped", "delivered", "refunded"];
const CITIES: [&str; 8] = ["北京", "上海", "广州", "深圳", "London", "Zürich", "São Paulo", "Tromsø"];
const FAMILIES: [&str; 6] = ["王", "李", "张", "刘", "Smith", "García"];
const GIVEN: [&str; 6] = ["伟", "芳", "秀英", "敏", "Anna", "José"];

/// Sebastiano Vigna's splitmix64: enough to look like data, and the same everywhere.
pub struct Dice(u64);

impl Dice {
    pub fn new() -> Self {
        Self(42)
    }

    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mixed = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        mixed ^ (mixed >> 31)
    }

    fn below(&mut self, limit: u64) -> u64 {
        self.next() % limit
    }

    fn one<'a>(&mut self, of: &[&'a str]) -> &'a str {
        of[self.below(of.len() as u64) as usize]
    }

    /// The next order.
    pub fn order(&mut self, id: i64) -> Order {
        let created = 757_382_400_000_000 + id * 31_000_000 + self.below(30_000_000) as i64;
        let mut number = [0; 16];
        number[..8].copy_from_slice(&self.next().to_be_bytes());
        number[8..].copy_from_slice(&self.next().to_be_bytes());
        Order {
            id,
            number,
            customer: format!("{}{}", self.one(&FAMILIES), self.one(&GIVEN)),
            email: format!("user{}@example.com", self.below(200_000)),
            status: self.one(&STATUSES),
            amount: self.below(1_000_000) as i64 - 20_000,
            quantity: self.below(20) as i32 + 1,
            created,
            paid: (self.below(4) > 0).then_some(created + 60_000_000),
            details: format!(
                "{{\"sku\": \"A-{}\", \"colour\": \"{}\", \"price\": {}.50}}",
                self.below(5_000),
                self.one(&["red", "blue", "绿色"]),
                self.below(900)
            ),
            gift: self.below(10) == 0,
            note: (self.below(5) == 0).then(|| format!("please ring twice, flat {}", self.below(400))),
            city: self.one(&CITIES),
            weight: self.below(100_000) as f64 / 1000.0,
        }
    }
}
