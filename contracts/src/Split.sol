// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import {IERC20} from "@openzeppelin/contracts/token/ERC20/IERC20.sol";
import {SafeERC20} from "@openzeppelin/contracts/token/ERC20/utils/SafeERC20.sol";
import {ReentrancyGuardTransient} from "@openzeppelin/contracts/utils/ReentrancyGuardTransient.sol";
import {ISplit} from "./ISplit.sol";
import {Money} from "./Money.sol";
import {Owned} from "./Owned.sol";

/// @title Who earns of a price
/// @notice What is paid for a key (the hash of a model, the id of a data set) is credited to the accounts in its
/// lineage. Credits are drawn, not sent: a receiver who cannot be paid stops no sale.
///
/// Definitions, for a price p of a key with shares (account_i, ppm_i), at most 16, sum of ppm <= 1,000,000:
///   part_i = floor(p ppm_i / 1,000,000) goes to account_i
///   rest   = p - sum of part_i, so the shares nobody holds and the dust, goes to the treasury
/// A key without shares pays the treasury alone. Always, for each token: parts + rest = p, and
///   balance >= credits = paid in - drawn.
///
/// A token is unknown, open (new business), or ending: no new business, but what is under way can still be paid, so
/// that taking a token off the list strands nobody's money.
contract Split is ISplit, Owned, ReentrancyGuardTransient {
    using SafeERC20 for IERC20;
    using Money for IERC20;

    /// @notice How far a pay token is on the list.
    enum TokenState {
        Unknown,
        Open,
        Ending
    }

    /// @notice What an account gets of a price, in millionths.
    struct Share {
        address account;
        uint32 ppm;
    }

    /// @notice The most accounts that a key pays.
    uint256 public constant MAX_SHARES = 16;
    /// @notice The whole, in millionths.
    uint256 public constant WHOLE = 1_000_000;

    /// @notice Gets the rest.
    address public immutable treasury;

    /// @notice Where a token stands on the list of pay tokens.
    mapping(IERC20 token => TokenState) public tokenState;
    /// @notice All credits in a token that were not drawn yet.
    mapping(IERC20 token => uint256 amount) public totalCredits;
    /// @notice What an account may draw in a token.
    mapping(IERC20 token => mapping(address account => uint256 amount)) public creditOf;

    mapping(bytes32 key => Share[]) private _shares;

    /// @notice An address that must name somebody is zero.
    error ZeroAddress();
    /// @notice A hash that must say something is zero.
    error ZeroHash();
    /// @notice The amount must be more than zero.
    error ZeroAmount();
    /// @notice A key has more shares than can be paid at once.
    error TooManyShares(uint256 given, uint256 most);
    /// @notice Each share needs an account, in ascending order without a repetition, and more than zero millionths.
    error ShareInvalid(uint256 index, address account, uint32 ppm);
    /// @notice The shares of a key are more than the whole.
    error SharesExceedWhole(uint256 given, uint256 whole);
    /// @notice This token is not on the list of pay tokens.
    error TokenNotAllowed(address token);
    /// @notice A token that was never open cannot be ending.
    error TokenNotOpen(address token);
    /// @notice The account has no credit in this token.
    error NothingToDraw(address account, address token);

    event TokenSet(address indexed token, TokenState state);
    event SharesSet(bytes32 indexed key, Share[] shares);
    event Paid(bytes32 indexed key, address indexed token, address indexed payer, uint256 amount, uint256 rest);
    event Credited(address indexed account, address indexed token, address indexed payer, uint256 amount);
    event Drawn(address indexed account, address indexed token, uint256 amount);

    /// @dev `first` is a token that is open from the start, so that a new DAO does business in its own money without a
    /// vote; zero for none.
    constructor(address owner_, address treasury_, IERC20 first) Owned(owner_) {
        require(treasury_ != address(0), ZeroAddress());
        treasury = treasury_;
        if (address(first) != address(0)) _setToken(first, TokenState.Open);
    }

    /// @notice Open `token` for business (`open`), or end new business in it.
    function setToken(IERC20 token, bool open) external onlyOwner {
        require(address(token) != address(0), ZeroAddress());
        require(open || tokenState[token] != TokenState.Unknown, TokenNotOpen(address(token)));
        _setToken(token, open ? TokenState.Open : TokenState.Ending);
    }

    /// @notice Say who earns of `key` from now on, in ascending order of accounts; none means the treasury alone.
    function setShares(bytes32 key, Share[] calldata shares) external onlyOwner {
        require(key != 0, ZeroHash());
        require(shares.length <= MAX_SHARES, TooManyShares(shares.length, MAX_SHARES));
        delete _shares[key];
        uint256 sum;
        address before;
        for (uint256 i = 0; i < shares.length; ++i) {
            Share calldata share = shares[i];
            require(share.account > before && share.ppm != 0, ShareInvalid(i, share.account, share.ppm));
            before = share.account;
            sum += share.ppm;
            _shares[key].push(share);
        }
        require(sum <= WHOLE, SharesExceedWhole(sum, WHOLE));
        emit SharesSet(key, shares);
    }

    /// @inheritdoc ISplit
    function pay(bytes32 key, IERC20 token, uint256 amount) external nonReentrant {
        _checkPayment(token, amount);
        uint256 rest = amount;
        Share[] storage shares = _shares[key];
        uint256 count = shares.length;
        for (uint256 i = 0; i < count; ++i) {
            Share memory share = shares[i];
            uint256 part = amount * share.ppm / WHOLE;
            rest -= part;
            creditOf[token][share.account] += part;
        }
        if (rest != 0) creditOf[token][treasury] += rest;
        totalCredits[token] += amount;
        emit Paid(key, address(token), msg.sender, amount, rest);
        token.take(msg.sender, amount);
    }

    /// @inheritdoc ISplit
    function credit(address account, IERC20 token, uint256 amount) external nonReentrant {
        _checkPayment(token, amount);
        require(account != address(0), ZeroAddress());
        creditOf[token][account] += amount;
        totalCredits[token] += amount;
        emit Credited(account, address(token), msg.sender, amount);
        token.take(msg.sender, amount);
    }

    /// @notice Send `account` all its credit in `token`. Anyone may call it.
    function withdraw(address account, IERC20 token) external nonReentrant {
        uint256 amount = creditOf[token][account];
        require(amount != 0, NothingToDraw(account, address(token)));
        delete creditOf[token][account];
        totalCredits[token] -= amount;
        emit Drawn(account, address(token), amount);
        token.safeTransfer(account, amount);
    }

    /// @inheritdoc ISplit
    function isOpen(IERC20 token) external view returns (bool) {
        return tokenState[token] == TokenState.Open;
    }

    /// @notice The shares of `key`, by account.
    function sharesOf(bytes32 key) external view returns (Share[] memory) {
        return _shares[key];
    }

    function _setToken(IERC20 token, TokenState state) private {
        tokenState[token] = state;
        emit TokenSet(address(token), state);
    }

    function _checkPayment(IERC20 token, uint256 amount) private view {
        require(tokenState[token] != TokenState.Unknown, TokenNotAllowed(address(token)));
        require(amount != 0, ZeroAmount());
    }
}
